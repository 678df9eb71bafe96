"""Labels: typed reads of the label views, and frozen label sets."""
