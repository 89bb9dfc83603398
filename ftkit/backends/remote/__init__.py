"""What backends on other machines share: this ftkit's code as an archive, and a job with the files of its rows."""
