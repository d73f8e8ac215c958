"""The command line: one file a verb, and nothing imported before it is needed."""
