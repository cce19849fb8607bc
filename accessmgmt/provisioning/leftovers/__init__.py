"""What the portal's roles leave: taken back, handed over, disarmed, dropped."""
