"""A transport for Faust that moves whole fetched chunks of a partition as single events.

``chunk``      what travels: everything of the offsets ``[base, next)`` of one partition
``fetch``      the consumer's thread, which alone knows where a fetch began
``scheduler``  hands chunks to Faust, one event each
``consumer``   claims partitions before they are read, and tells Kafka what is stored
``owner``      what the application must answer: where to read from, and what is stored
``app``        a Faust application on this transport
"""
