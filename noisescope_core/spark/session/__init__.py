"""Spark started or joined: JVM, jars, S3; what workers do first; progress; what may be in the way."""
