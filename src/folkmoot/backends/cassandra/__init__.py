"""The store on Cassandra: logs by (group, bucket), one conditional batch an append, and projections beside them."""
