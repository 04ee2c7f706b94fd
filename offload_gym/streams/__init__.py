"""Time: jobs arrive at devices, and what was decided before is still in the queues."""
