#!/usr/bin/env bash
# Debian packages that the system tests use; a laptop does without and the tests say what they skip.
set -euo pipefail
packages=(chromium ffmpeg libgl1 libglib2.0-0 munge openssh-sftp-server slurm-client slurmctld slurmd sshfs)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
# Slurm's commands read their configuration from one place only once Snakemake has stripped their
# environment: let whoever runs the tests put a link there. A real cluster's file stays.
if [ ! -e /etc/slurm/slurm.conf ] && [ -n "${SUDO_USER:-}" ]; then
  mkdir -p /etc/slurm
  chown "$SUDO_USER" /etc/slurm
fi
