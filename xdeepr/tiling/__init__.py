"""Integer geometry of tiles and blocks, and fusing them; knows no coordinates."""
