"""The Hydra tree, data only; installed as `vl_dora.conf` and found as `pkg://vl_dora.conf`."""
