"""What exhibits are made of: axes, bands, colours by arm, stacked panels, tables, queries."""
