"""The product's story, told on a running stack by `make smoke`: each step acts as a person or an operator would."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from devstack.process import wait_until
from devstack.stack import Stack, wait_for_replay

Step = Callable[[str], AbstractContextManager[None]]


def tell(stack: Stack, step: Step) -> None:
    """Go through the story; an exception ends it."""
    with step("the portal answers"):
        assert stack.answers()
    with step("the replica follows the target"):
        wait_for_replay(stack.primary, stack.standby)
    with step("a killed worker comes back"):
        stack.kill("worker-applying")
        stack.start_process("worker-applying")
    with step("the portal bears the loss of Redis"):
        stack.kill("redis")
        wait_until(stack.answers, timeout=10, what="the portal answers without Redis")
        stack.start_process("redis")
