"""What stands behind the commands in `scripts/`.

bootstrap      makes .venv from a lock file; standard library only, as it runs before anything is installed
find_python.sh finds a Python that is new enough; `python` runs the one of .venv
up             the launcher: engines' data, ports, honcho, the ready line, stopping
parts          which processes listen where, `procfile_parts` all of them; `readiness` asks if they are ready
keep           restarts one process for as long as it is wanted; `relay` hands on what it complains of
refusals       which processes cannot use their settings: keep tells up
postgres, valkey, kafka   the embedded engines; `engine` is what they do the same way
postgres_data  the data folder of PostgreSQL
kafka_jars     fetches Kafka's program; `kafka_jvm` runs it
unprivileged   how root runs PostgreSQL, which refuses root
roles          one database and one login role per service; `scram` is what PostgreSQL keeps of a password
admin, seed    the operator's commands on services' data; `opened_database` is how they get there
events         what waits, dead letters, repairs
saga           what becomes of orders; `invariants` asks whether orders, money and goods add up
load           many clients that order; `accounts` are whom they log in as
settings       the environment together with a file .env
secret_files   secrets, made once
service_names  which services there are
locks          one at a time, however it ends
records        who runs here: process ids that cannot be mistaken for a later process
spawning       children that do not outlive their parent
signal_queue   signals as something a loop can wait for
free_ports     ports that nobody uses
run_tests      pytest on ports and data of its own
protos         the contract repository: checks, releases, generated sources
rpc            the operator's calls to services
new_service    writes a service of the shape that all have
chat           a client that talks, in a terminal; `websocket_client` is the protocol below it
demo           a client, step by step, `demo_shop` its part in the shop, `demo_chat` its part in a chat room;
               `conversation` and `demo_sockets` print it
failures       errors that are one line for the operator
"""
