#!/usr/bin/env bash
# Debian packages that the system tests use; a laptop does without and the tests say what they skip.
set -euo pipefail
packages=(chromium ffmpeg libgl1 libglib2.0-0 munge slurm-client slurmctld slurmd)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
