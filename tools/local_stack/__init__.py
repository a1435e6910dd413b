"""The whole application on this machine, on an emulator of AWS: `make up` and `make down`."""
