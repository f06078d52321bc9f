"""What Easel costs on AWS: ``measuring`` counts, ``bill`` multiplies, ``growth`` looks ahead."""
