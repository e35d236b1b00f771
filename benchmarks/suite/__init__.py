"""What airspeed velocity follows from commit to commit; `benchmarks/*.py` measure ratios in depth.

asv run --config benchmarks/asv.conf.json --python same --quick
asv continuous --config benchmarks/asv.conf.json main my-branch
"""
