"""What tests of many places need."""
