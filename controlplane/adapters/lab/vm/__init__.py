"""The second lane: virtual machines with a kernel of their own, under QEMU's software emulation."""
