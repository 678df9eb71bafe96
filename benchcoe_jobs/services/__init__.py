"""The services behind the commands and the jobs, which use the store, engines, importers and routers."""
