"""paho clients as ingest needs them, and what they say about a refused connection."""

from __future__ import annotations

import ssl
from typing import TypeVar

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.settings import BrokerSettings
from plant.errors import BrokerError

C = TypeVar("C", bound=mqtt.Client)


def make_client(broker: BrokerSettings, client_id: str, kind: type[C]) -> C:
    """Return a client with credentials and TLS, not yet connected. Raises BrokerError.

    Acknowledgements are sent by us, the session outlives the connection, and a lost connection is
    ours to renew: each one gets a client of its own, so no packet id of an old one can be acknowledged.
    """
    is_v5 = broker.protocol == "5"
    client = kind(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=mqtt.MQTTv5 if is_v5 else mqtt.MQTTv311,
        clean_session=None if is_v5 else False,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    secure(client, broker)
    return client


def secure(client: mqtt.Client, broker: BrokerSettings) -> None:
    """Give a client the broker's credentials and TLS. Raises BrokerError when they cannot be read."""
    client.connect_timeout = broker.connect_timeout_s
    try:
        if broker.username:
            password = None
            if broker.password_file is not None:
                password = broker.password_file.read_text(encoding="utf-8").split("\n")[0]
            client.username_pw_set(broker.username, password)
        if broker.uses_tls:
            context = ssl.create_default_context(
                cafile=None if broker.ca_file is None else str(broker.ca_file)
            )
            if broker.cert_file is not None:
                context.load_cert_chain(broker.cert_file, broker.key_file)
            client.tls_set_context(context)
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(
            f"the credentials for the MQTT broker cannot be read ({error}).",
            fix="Check password_file, ca_file, cert_file and key_file in [broker].",
        ) from error


def connect(client: mqtt.Client, broker: BrokerSettings, receive_maximum: int) -> None:
    """Open the connection and send CONNECT; the answer comes by on_connect. Raises OSError."""
    if broker.protocol == "5":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
        properties.SessionExpiryInterval = broker.session_expiry_s
        properties.ReceiveMaximum = receive_maximum
        client.connect(
            broker.host, broker.port, broker.keepalive_s, clean_start=False, properties=properties
        )
    else:
        client.connect(broker.host, broker.port, broker.keepalive_s)


def unreachable(broker: BrokerSettings, reason: str) -> BrokerError:
    """Return the error for a broker that cannot be used, with what to do about it."""
    fix = "Check [broker] in vigie.toml and that the broker runs."
    if "authoriz" in reason.lower() or "user name" in reason.lower():
        fix = "Check username and password_file in [broker], and the broker's access list."
    elif "protocol version" in reason.lower():
        fix = 'The broker is old: set protocol = "3.1.1" in [broker].'
    return BrokerError(
        f"the MQTT broker {broker.host}:{broker.port} cannot be used ({reason}).", fix=fix
    )
