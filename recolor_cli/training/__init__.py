"""Making the networks: data, losses, the loop, export. The only room that imports torch."""
