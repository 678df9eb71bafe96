"""The services: what the commands and the jobs do with the store, the engines, the importers and the routers."""
