from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg2

from devstack.broker_management import BrokerManagement


def databases_on(dsn: str) -> set[str]:
    connection = psycopg2.connect(dsn)
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT datname FROM pg_database")
        return {name for (name,) in cursor.fetchall()}
    finally:
        connection.close()


def test_each_database_made_is_another_one(postgres_dsn: str, make_database: Callable[..., str]) -> None:
    first, second = urlsplit(make_database()).path[1:], urlsplit(make_database()).path[1:]

    assert first != second
    assert {first, second} <= databases_on(postgres_dsn)


def test_a_database_made_from_a_template_has_its_tables(make_database: Callable[..., str]) -> None:
    template = make_database()
    connection = psycopg2.connect(template)
    connection.autocommit = True
    connection.cursor().execute("CREATE TABLE seeds (id int)")
    connection.close()

    copy = psycopg2.connect(make_database(template=template))
    copy.cursor().execute("SELECT id FROM seeds")
    copy.close()


def test_a_virtual_host_is_fresh_and_usable(rabbitmq_url: str, rabbitmq_management: BrokerManagement) -> None:
    vhost = urlsplit(rabbitmq_url).path[1:]

    assert rabbitmq_management.call("GET", f"/queues/{vhost}") == []
    assert rabbitmq_management.call("GET", f"/aliveness-test/{vhost}") == {"status": "ok"}
