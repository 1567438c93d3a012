"""What commands leave when they are killed, or lose the disk or the memory.

  python -m scripts.kills --of=commands --kills=200 --seed=0
  python -m scripts.kills --of=gardens --kills=200 --seed=0

`commands` has exports, overwrites, releases and signatures; `gardens` releases
of many models by one command. Each runs commands again and again, strikes at
random moments (`faults`, `moments`, `victims`), and compares what is left with
what nobody disturbed (`snapshots`, `directories`). `crowd` releases twenty
models at once. The exit code is 1 if anything was found; see `tally`.
"""
