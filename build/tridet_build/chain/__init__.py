"""From a manifest to what is served, stage by stage, what is unchanged skipped."""
