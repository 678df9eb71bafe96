"""Labels: typed reads of the views, and frozen label sets."""
