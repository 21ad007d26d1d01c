"""One command from the ledger to a canary: dataset, head, answers, router, release, gate. Each step is another package's."""
