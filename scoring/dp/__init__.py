"""Differential privacy: the sampler, the accounting, the noised releases and the privacy ledger."""
