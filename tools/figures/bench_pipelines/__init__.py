"""The benchmark behind `make bench`: three ways to serve one detector, measured beside each other.

frames          the pictures that are sent
scene           what the stub detector finds in them, as a raw head and as a serving graph gives it
server_models/  the Triton models of the stub and of the naive ensemble
repository      one model repository with all of them and tridet's own, as tridet_build renders it
clients         how each pipeline's user calls it
worker          the client process: a closed loop, its latencies and its CPU time
triton_stats    the server's own account (tridet_bench reads it) in the terms of this benchmark
cpu_clock       CPU time of other processes
measure         interleaved rounds over all cases
real            the real detector through the server beside bare ONNX Runtime
summary         ratios, targets
tables          the report
"""
