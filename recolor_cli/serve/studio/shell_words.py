"""Write names so that a shell reads them as they are."""

from __future__ import annotations

import os
import re
import shlex

_PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*")


def shell_word(text: str) -> str:
    r"""Quote a text for a POSIX shell.

    What cannot be shown or copied, such as a line's end or a byte that is no text, is written by
    its number in ``$'...'``, which bash, zsh and ksh know, and POSIX since 2024.

    Examples
    --------
    >>> print(shell_word("it's red.jpg"), shell_word("a\nb.jpg"))
    'it'"'"'s red.jpg' $'a\012b.jpg'
    """
    if _PLAIN.fullmatch(text):
        return shlex.quote(text)
    written = (
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"'\\" else f"\\{byte:03o}"
        for byte in os.fsencode(text)
    )
    return f"$'{''.join(written)}'"
