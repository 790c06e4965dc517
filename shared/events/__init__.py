"""Events between services: written with the state, carried by a bus, taken in once.

envelope         an event on the wire: CloudEvents around a message of the contracts
bus              what a bus promises, whichever it is
memory           a bus within one process, for tests
redis_streams    a bus on Redis or Valkey
redis_topics     how a topic lies in Redis: streams, and a bookmark in each for every group
redis_publisher  publishing to the streams, waiting for the disk, dropping what is done with
redis_link       one connection to Redis, never made anew
kafka            a bus on Apache Kafka
kafka_client     kafka-python's clients, which block, called from the event loop
kafka_topics     topics on Kafka: made, and how much of them a group has still to handle
kafka_lanes      one partition's messages on their way to a handler
kafka_consumer   from Kafka to the lanes, as a member of a group or on one's own
transports       which of them EVENTS_URL means
ownership        which process works at which partition, settled by the consumer's own database
outbox           events that are true together with the state that they report
relay            from the outbox to the bus
inbox            which events have had their effect
dead_letters     events that cannot have it
consumer         from the bus to a service's handlers
rebuilt          copies made from events, compared with what the owner has, and put right

The way of an event: outbox → relay → bus → consumer → inbox.
"""
