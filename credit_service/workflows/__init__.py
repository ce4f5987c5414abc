"""What repair and objection share: cases, their state machines as data, queues, timelines, figures."""
