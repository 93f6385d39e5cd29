"""Puts MySQL's server from Debian unstable, with the libraries that it needs, into a folder: fetch.py FOLDER

FOLDER/bin has mariadbd and mariadb-install-db, which start it. Nothing is installed. With PATH=FOLDER/bin:$PATH the
tests of the jdbc connector run against MySQL. A package whose bytes are not those that Debian's list names is an error;
the list itself comes over https.
"""
import hashlib
import os
import re
import subprocess
import sys
import urllib.request

MIRROR = 'https://deb.debian.org/debian/'
FIRST = ['mysql-server-core', 'mysql-common']

RUN = '''#!/bin/bash
options=()
for option in "$@"; do [ "$option" = --no-defaults ] || options+=("$option"); done
exec {loader} --library-path {libraries} {root}/usr/sbin/mysqld --no-defaults --mysqlx=OFF --secure-file-priv= \\
  --basedir={root}/usr --lc-messages-dir={root}/usr/share/mysql --character-sets-dir={root}/usr/share/mysql/charsets \\
  --plugin-dir={root}/usr/lib/mysql/plugin "${{options[@]}}"
'''
INSTALL = '''#!/bin/bash
for option in "$@"; do case $option in --datadir=*) data=${{option#--datadir=}};; esac; done
mkdir -p "$data"
if [ "$(id -u)" = 0 ]; then
  chown mysql:mysql "$data"
  exec su -s /bin/bash mysql -c "{folder}/bin/mariadbd --initialize-insecure --datadir=$data"
fi
exec {folder}/bin/mariadbd --initialize-insecure --datadir="$data"
'''


def fields(block):
    return dict(re.findall(r'^([A-Za-z0-9-]+): (.*)$', block, re.M))


def packages():
    with urllib.request.urlopen(MIRROR + 'dists/sid/main/binary-amd64/Packages.xz') as answer:
        text = subprocess.run(['xz', '-dc'], input=answer.read(), capture_output=True, check=True).stdout.decode()
    by_name, provided = {}, {}
    for package in filter(lambda f: 'Package' in f, map(fields, text.split('\n\n'))):
        by_name[package['Package']] = package
        for name in re.findall(r'[a-z0-9.+-]+', package.get('Provides', '')):
            provided.setdefault(name, package['Package'])
    return lambda name: by_name.get(name) or by_name.get(provided.get(name))


def fetch(package, deb):
    """Puts the package into the file `deb` unless it is there; ends everything when it is not what the list says."""
    if not os.path.exists(deb):
        urllib.request.urlretrieve(MIRROR + package['Filename'], deb)
    with open(deb, 'rb') as file:
        found = hashlib.file_digest(file, 'sha256').hexdigest()
    if found != package['SHA256']:
        os.remove(deb)
        sys.exit(f"{deb} has SHA256 {found}, not {package['SHA256']}; it is removed")


def main(folder):
    root, find, wanted, seen = os.path.join(folder, 'root'), packages(), list(FIRST), set()
    os.makedirs(root, exist_ok=True)
    while wanted:
        name = wanted.pop()
        package = find(name)
        # Perl is for scripts that are not run here.
        if name in seen or package is None or name.startswith('perl'):
            continue
        seen.add(name)
        deb = os.path.join(folder, os.path.basename(package['Filename']))
        fetch(package, deb)
        subprocess.run(['dpkg-deb', '-x', deb, root], check=True)
        needs = package.get('Depends', '') + ',' + package.get('Pre-Depends', '')
        wanted += [word[0] for word in (re.findall(r'[a-z0-9.+-]+', need) for need in needs.split(',')) if word]
    libraries = [os.path.join(root, part) for part in ('usr/lib/x86_64-linux-gnu', 'usr/lib/mysql/private')]
    loader = os.path.join(libraries[0], 'ld-linux-x86-64.so.2')
    os.makedirs(os.path.join(folder, 'bin'), exist_ok=True)
    for name, text in [('mariadbd', RUN), ('mariadb-install-db', INSTALL)]:
        path = os.path.join(folder, 'bin', name)
        with open(path, 'w') as file:
            file.write(text.format(folder=folder, root=root, loader=loader, libraries=':'.join(libraries)))
        os.chmod(path, 0o755)
    subprocess.run([os.path.join(folder, 'bin', 'mariadbd'), '--version'], check=True)


main(os.path.abspath(sys.argv[1]))
