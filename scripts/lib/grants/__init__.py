"""What scripts/setup-google-to-aws and scripts/setup-aws-to-google are made of.

names     what was typed, checked before anything is asked
tools     gcloud and aws: how they are called, what their refusals mean
plan      steps that are looked at, made, undone, or printed
google    the steps on Google's side
aws       the steps on AWS's side
"""
