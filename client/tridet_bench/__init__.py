"""``tridet bench``: measure a served model, as its users see it and as its server sees it.

loops          when requests are sent: closed loop, open loop (Poisson)
samples        what was noted, and what failed
client_process a process that sends, from outside; worker: from inside; workers: all together
server         how a model's steps are set up; tridet.server_info: what they have done
latency        percentiles and histogram; budget: where a frame's time goes
cases          one load of one workload, run and summed up
knee           the highest load that still works; saturation runs it, advice explains it
report         the JSON; tables, picture, page show it
perf_analyzer  NVIDIA's load generator, for a cross-check
command        the options

tools/figures/bench.py shares client_process, frames, latency, machine and table.
"""
