"""HTTP/1.1 on bare transports, because a server that must break the protocol needs its hands on the socket."""
