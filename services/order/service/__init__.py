"""What can be done with orders, and with our copies of the catalogue.

orders        the use cases of clients and of other services
copies        what order knows of the catalogue, kept true
orchestrator  what is done for an order, from the first step to the last
workers       who works at which saga
silences      who does not answer, and is not to be asked by everybody
endings       who waits for the end of a saga
"""
