"""The work itself: the only room where the store meets importers, scorers and routers."""
