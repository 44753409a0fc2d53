"""The grants that fedboot needs, each way; ../google-to-aws and ../aws-to-google are the programs."""
