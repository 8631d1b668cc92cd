"""Object storage behind one small interface: S3 by boto3, and folders that obey the same protocol."""
