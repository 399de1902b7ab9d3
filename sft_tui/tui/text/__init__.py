"""What screens show, as text; knows no widgets."""
