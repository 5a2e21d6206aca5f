"""What redis-py sends: `redis_py.py PORT SOCKET`."""

import sys
import time

import redis

port, socket = sys.argv[1:]


def heard(listener, count):
    """The next messages, confirmations included."""
    messages = []
    end = time.monotonic() + 30
    while len(messages) < count and time.monotonic() < end:
        message = listener.get_message(timeout=1)
        if message:
            messages.append((message["type"], message["data"]))
    return messages


def check(version, **where):
    client = redis.Redis(decode_responses=True, protocol=version, **where)
    client.flushdb()
    assert client.ping() and client.echo("x") == "x"
    assert client.client_id() > 0 and client.client_info()["lib-name"] == "redis-py"
    assert client.config_get("save", "appendonly") == {"save": "", "appendonly": "no"}
    assert client.info()["redis_mode"] == "standalone"
    assert client.command_count() == len(client.command()) > 50
    assert client.command()["get"]["arity"] == 2

    assert client.set("a", "1", ex=10) and 0 < client.ttl("a") <= 10
    assert client.set("a", "2", nx=True) is None and client.set("a", "3", xx=True, get=True) == "1"
    assert client.expire("a", 100, nx=True) and client.persist("a") and client.ttl("a") == -1
    assert client.mset({"x": 1, "y": 2}) and client.mget("x", "y", "none") == ["1", "2", None]
    assert client.getdel("x") == "1" and client.append("y", "0") == 2 and client.decr("y", 5) == 15
    assert client.type("y") == "string" and client.unlink("y") == 1

    with client.pipeline(transaction=False) as pipeline:
        for n in range(1000):
            pipeline.set(f"k{n}", n)
            pipeline.get(f"k{n}")
        assert pipeline.execute()[1::2] == [str(n) for n in range(1000)]
    assert sorted(client.scan_iter("k*", count=13)) == sorted(f"k{n}" for n in range(1000))

    with client.pipeline() as pipeline:
        pipeline.watch("a")
        pipeline.multi()
        pipeline.set("a", "5")
        pipeline.incr("a")
        assert pipeline.execute() == [True, 6]
        pipeline.watch("a")
        client.set("a", "changed")
        pipeline.multi()
        pipeline.set("a", "lost")
        try:
            pipeline.execute()
            raise AssertionError("a watched key has changed")
        except redis.WatchError:
            pass
    assert client.transaction(lambda pipeline: (pipeline.multi(), pipeline.set("a", "7")), "a") == [True]

    listener = client.pubsub()
    listener.subscribe("news")
    listener.psubscribe("n*")
    assert heard(listener, 2) == [("subscribe", 1), ("psubscribe", 2)]
    assert client.publish("news", "hello") == 2
    assert sorted(heard(listener, 2)) == [("message", "hello"), ("pmessage", "hello")]
    if version == 2:
        listener.ping("well?")
        assert heard(listener, 1) == [("pong", "well?")]
    assert client.pubsub_channels() == ["news"] and client.pubsub_numsub("news") == [("news", 1)]
    listener.unsubscribe()
    listener.punsubscribe()
    assert heard(listener, 2) == [("unsubscribe", 1), ("punsubscribe", 0)]
    listener.close()

    # To release a lock takes Lua, which the example does not have: here it is taken, and runs out.
    assert client.lock("held", timeout=100).acquire(blocking=False)
    assert not client.lock("held", timeout=100).acquire(blocking=False)
    assert client.lock("lock", timeout=0.05).acquire(blocking=False)
    assert client.lock("lock", timeout=100, sleep=0.01).acquire(blocking_timeout=30)
    client.close()


for version in [2, 3]:
    check(version, port=port)
    check(version, port=port, db=5, client_name="me", health_check_interval=1)
    check(version, unix_socket_path=socket)
