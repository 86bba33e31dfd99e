"""A stand-in for the parts of `launch_ros` that promptseg's launch files and tests use."""
