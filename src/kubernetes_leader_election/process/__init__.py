"""What there is one of in each process: signals, exit, timers, log, forks."""
