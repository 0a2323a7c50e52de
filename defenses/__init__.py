"""The defenses that come with defensebench: one file a plugin; files that begin with ``_`` hold what several share."""
