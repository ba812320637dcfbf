"""What this queue and its peers do in a second, measured in one run on one machine."""
