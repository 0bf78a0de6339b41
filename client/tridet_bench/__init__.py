"""``tridet bench``: measure a served model, as its users see it and as its server sees it.

loops          when requests are sent: closed loop, open loop (Poisson)
timed          a detector that notes what each request's time went into
samples        what was noted, and what failed
worker         a process that sends; workers: the processes together
server         how a model's steps are set up; tridet.server_info: what they have done
latency        percentiles and histogram; budget: where a frame's time goes
cases          one load of one workload, run and summed up
knee           the highest load that still works; saturation runs it, advice explains it
report         the JSON; tables, picture, page show it
perf_analyzer  NVIDIA's load generator, for a cross-check
command        the options

tools/figures/bench.py shares machine and frames.
"""
