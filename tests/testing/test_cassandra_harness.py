"""How a node that runs already is named for the tests, and the keyspace that they take on it."""

from folkmoot.testing.cassandra_harness import parse_node, settings_of


def test_a_node_is_named_with_or_without_a_login() -> None:
    assert parse_node("127.0.0.1:9042") == ("127.0.0.1", 9042, "", "")
    assert parse_node("127.0.0.1:9042:user-1:a:b") == ("127.0.0.1", 9042, "user-1", "a:b")


def test_each_bucket_size_has_a_keyspace() -> None:
    small, large = (settings_of("127.0.0.1", 9042, bucket_size=size) for size in (8, 1_000))
    assert (small.keyspace, small.bucket_size) == ("folkmoot_test_8", 8)
    assert large.keyspace != small.keyspace
