"""AllyArm controller: bus -> cycle -> ring -> HMI, and commands back the same way."""

__version__ = "0.1.0"
