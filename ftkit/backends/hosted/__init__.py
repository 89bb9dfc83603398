"""What the backends of hosted training APIs share.

``backend`` is the base class of these backends. ``host`` is the interface of one API. ``host_profile`` describes a host
that speaks OpenAI's fine-tuning API. ``field_support`` says which recipe fields a host supports. ``retry`` and
``concurrency`` hold the only retry policy and the only concurrency limit of calls to hosts.
"""
