// CIELAB and sRGB (D65, the CIE's formula), and what sRGB has at a lightness.

const WHITE = [0.950456, 1, 1.088754];

function fInverse(t) {
  return t > 6 / 29 ? t ** 3 : (t - 4 / 29) * (108 / 841);
}

function f(t) {
  return t > (6 / 29) ** 3 ? Math.cbrt(t) : t * (841 / 108) + 4 / 29;
}

function linearOfLab(lightness, a, b) {
  const fy = (lightness + 16) / 116;
  const x = WHITE[0] * fInverse(fy + a / 500);
  const y = fInverse(fy);
  const z = WHITE[2] * fInverse(fy - b / 200);
  return [
    3.240479 * x - 1.53715 * y - 0.498535 * z,
    -0.969256 * x + 1.875992 * y + 0.041556 * z,
    0.055648 * x - 0.204043 * y + 1.057311 * z,
  ];
}

export function isShown(lightness, a, b) {
  return linearOfLab(lightness, a, b).every((light) => light >= -1e-4 && light <= 1.0001);
}

export function rgbOfLab(lightness, a, b) {
  return linearOfLab(lightness, a, b).map((light) => {
    const inside = Math.min(Math.max(light, 0), 1);
    const level = inside <= 0.0031308 ? 12.92 * inside : 1.055 * inside ** (1 / 2.4) - 0.055;
    return Math.round(255 * level);
  });
}

export function labOfRgb(rgb) {
  const [red, green, blue] = rgb.map((level) => {
    const value = level / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  const x = 0.412453 * red + 0.35758 * green + 0.180423 * blue;
  const y = 0.212671 * red + 0.71516 * green + 0.072169 * blue;
  const z = 0.019334 * red + 0.119193 * green + 0.950227 * blue;
  const [fx, fy, fz] = [x / WHITE[0], y, z / WHITE[2]].map(f);
  return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)];
}

// The color of the same hue with as much chroma as sRGB shows at a lightness.
export function clipChroma(lightness, a, b) {
  if (isShown(lightness, a, b)) return [a, b];
  let [inside, outside] = [0, 1];
  for (let step = 0; step < 14; step += 1) {
    const middle = (inside + outside) / 2;
    if (isShown(lightness, a * middle, b * middle)) inside = middle;
    else outside = middle;
  }
  return [a * inside, b * inside];
}

function hexOfRgb(rgb) {
  return `#${rgb.map((level) => level.toString(16).padStart(2, "0")).join("")}`;
}

export function rgbOfHex(hex) {
  const digits = hex.slice(1);
  return [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16));
}

// #rrggbb of what people write: with or without #, short, or a name that CSS knows. Null if none.
export function parseColor(text) {
  const word = text.trim().toLowerCase();
  const digits = word.replace(/^#/, "");
  if (/^[0-9a-f]{6}$/.test(digits)) return `#${digits}`;
  if (/^[0-9a-f]{3}$/.test(digits)) return `#${[...digits].map((d) => d + d).join("")}`;
  if (!/^[a-z]+$/.test(word) || !CSS.supports("color", word)) return null;
  const context = document.createElement("canvas").getContext("2d");
  context.fillStyle = word;
  return context.fillStyle.startsWith("#") ? context.fillStyle : null;
}

// A color that has an ab and can be written as #rrggbb: at the lightness, if that has it.
export function hexOfAb(lightness, a, b) {
  const light = Math.min(Math.max(lightness, 25), 85);
  return hexOfRgb(rgbOfLab(light, ...clipChroma(light, a, b)));
}
