"""The job engine, independent of any kind of work.

A message (`queues.py`) reaches `executor.receive`, which claims the job and calls the handler of its kind.
"""
